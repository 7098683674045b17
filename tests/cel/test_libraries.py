"""What each of Kubernetes' libraries does, as tables, and that functions exist by upstream's names and signatures."""

from __future__ import annotations

import pytest

from steersman.cel import CompileError, Environment, EvaluationError, InstantiationError, types
from steersman.cel.libraries import kubernetes, patches
from steersman.cel.libraries.authorizer import AUTHORIZER_TYPE, RESOURCE_CHECK_TYPE, Authorizer, Decision, Question
from steersman.cel.values import Value

ENVIRONMENT = Environment(
    variables={"authorizer": AUTHORIZER_TYPE, "authorizer.requestResource": RESOURCE_CHECK_TYPE, "x": types.DYN},
    libraries=(*kubernetes.REGISTRY, patches.LIBRARY),
    homogeneous=True,
    object_type=patches.object_type,
    field_type=patches.field_type,
)

VALUES: dict[str, Value] = {
    # strings
    "'tacocat'.charAt(3)": "o",
    "'tacocat'.indexOf('c', 3)": 4,
    "'tacocat'.lastIndexOf('a')": 5,
    "'tacocat'.lastIndexOf('at', 3)": -1,
    "'a,b,c'.split(',')": ["a", "b", "c"],
    "'a,b,c'.split(',', 2)": ["a", "b,c"],
    "'abc'.split('')": ["a", "b", "c"],
    "'abc'.substring(1) + 'abc'.substring(0, 1)": "bca",
    "' x\\t'.trim()": "x",
    "'Ab1é'.upperAscii() + 'AB'.lowerAscii()": "AB1éab",
    "'aaa'.replace('a', 'b', 2)": "bba",
    "['a', 'b'].join('-') + ['c'].join()": "a-bc",
    "strings.quote('a\"\\n')": '"a\\"\\n"',
    "'%s %d %f %.2f %e %b %o %x %X %%'.format(['é', 5, 1234.5, 2.0, 3.14, 5, 8, 255, 'ab'])":
        "é 5 1,234.500000 2.00 3.140000×10⁰⁰ 101 10 ff 6162 %",
    "'%s %s %s'.format([[1, 2], {'b': 'x', 'a': 'y'}, duration('90s')])": '[1, 2] {"a":"y", "b":"x"} 90s',
    # lists
    "[1, 3].sum() + [2, 1].min() + [1, 2].max()": 7,
    "[duration('1m'), duration('1s')].sum() == duration('61s')": True,
    "['a', 'b', 'b'].isSorted() && ![2, 1].isSorted()": True,
    "['a', 'b', 'b'].indexOf('b') + ['a', 'b', 'b'].lastIndexOf('b')": 3,
    "[1, 2, 3, 4].slice(1, 3)": [2, 3],
    "[[1, 2], [3]].flatten() + [[[4]]].flatten(2)": [1, 2, 3, 4],
    "[3, 1, 2].sort()": [1, 2, 3],
    "['bbb', 'a', 'cc'].sortBy(s, size(s))": ["a", "cc", "bbb"],
    "[1, 2, 1].distinct() + lists.range(2) + [1, 2].reverse()": [1, 2, 0, 1, 2, 1],
    "sets.contains([1, 2, 3], [2]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])": True,
    # patterns
    "'abc 123'.find('[0-9]+')": "123",
    "'abc'.find('[0-9]+')": "",
    "'123 abc 456'.findAll('[0-9]+')": ["123", "456"],
    "'123 abc 456'.findAll('[0-9]*', 1)": ["123"],
    # URLs
    "url('https://user:pw@Example.com:80/a%20b?q=1&q=2#f').getHost()": "Example.com:80",
    "url('https://user:pw@Example.com:80/a%20b?q=1&q=2#f').getHostname()": "Example.com",
    "url('https://example.com:80/a%20b?q=1&q=2#f').getEscapedPath()": "/a%20b",
    "url('https://example.com/?q=1&q=2').getQuery()": {"q": ["1", "2"]},
    "url('https://[::1]:80/').getPort() + url('https://[::1]:80/').getHostname()": "80::1",
    "isURL('/path') && !isURL('path') && !isURL('https://a:b:c/') && !isURL('')": True,
    # addresses
    "ip('192.168.0.1').family() + ip('::1').family()": 10,
    "isIP('10.0.0.1') && !isIP('10.0.0.256') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%en0')": True,
    "ip.isCanonical('2001:db8::1') && !ip.isCanonical('2001:DB8::0:1')": True,
    "ip('169.254.169.254').isLinkLocalUnicast() && ip('224.0.0.1').isLinkLocalMulticast()": True,
    "ip('192.168.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()": True,
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))": True,
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/8').containsCIDR('0.0.0.0/0')": True,
    "string(cidr('10.1.2.3/8').masked()) + ' ' + string(cidr('10.1.2.3/8').ip())": "10.0.0.0/8 10.1.2.3",
    "cidr('::1/128').prefixLength()": 128,
    "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0')": True,
    "type(ip('::1')) == net.IP && ip('::1') == ip('0:0::1')": True,
    # quantities
    "quantity('1.5Gi').isGreaterThan(quantity('1.5G'))": True,
    "quantity('50k').add(20).sub(quantity('100k')).sub(-50000) == quantity('20')": True,
    "quantity('200M').compareTo(quantity('0.2G'))": 0,
    "quantity('50k').asInteger() + sign(quantity('-3'))": 49999,
    "!quantity('100m').isInteger() && isQuantity('1Gi') && !isQuantity('1GiB')": True,
    # versions
    "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').isLessThan(semver('1.0.0'))": True,
    "semver('v01.2', true).minor()": 2,
    "isSemver('1.0.0') && !isSemver('v1.0.0') && isSemver('v1.0', true) && !isSemver('1.0')": True,
    "semver('1.0.0+a') == semver('1.0.0+b')": True,
    # formats
    "format.dns1123Label().validate('my-name').hasValue()": False,
    "format.named('uuid').value().validate('x').value()": ["does not match the UUID format"],
    "format.dns1123LabelPrefix().validate('my-').hasValue()": False,
    "format.named('nope').hasValue()": False,
    # patches
    "jsonpatch.escapeKey('k8s.io/my~label')": "k8s.io~1my~0label",
}  # fmt: skip


@pytest.mark.parametrize("text", VALUES)
def test_a_function_gives_its_value(text: str) -> None:
    assert ENVIRONMENT.compile(text).evaluate({"x": {}}) == VALUES[text]


ERRORS = {
    "'abc'.charAt(4)": "index out of range: 4",
    "'abc'.substring(2, 1)": "invalid substring range. start: 2, end: 1",
    "[''].map(s, int(s)).min()": "type conversion error from 'string' to 'int'",
    "[1].filter(n, n > 1).min()": "min called on empty list",
    "[1].slice(0, 2)": "cannot slice(0, 2), list is length 1",
    "quantity('1e400').asInteger() + quantity('0.5').asInteger()": "cannot convert value to integer",
    "ip('nope')": 'IP Address "nope" parse error during conversion from string: ParseAddr("nope"): unable to parse IP',
    "cidr('10.0.0.0/33')": (
        "network address parse error during conversion from string: network address parse error during conversion "
        'from string: netip.ParsePrefix("10.0.0.0/33"): prefix length out of range'
    ),
    "url('nope')": 'URL parse error during conversion from string: parse "nope": invalid URI for request',
    "semver('1.0')": "No Major.Minor.Patch elements found",
    "'%d'.format(dyn(['x']))": "error during formatting: decimal clause can only be used on integers, was given string",
    "'%q'.format(dyn(['x']))": 'could not parse formatting clause: unrecognized formatting clause "q"',
    "'%d'.format(dyn([]))": "index 0 out of range",
    "authorizer.path(' ')": "path must not be empty",
    "authorizer.group('').resource('')": "resource must not be empty",
    "authorizer.serviceAccount('a', 'B').group('')": "Invalid service account name",
}


@pytest.mark.parametrize("text", ERRORS)
def test_a_function_fails_in_upstreams_words(text: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        ENVIRONMENT.compile(text).evaluate({"authorizer": Authorizer(_Answers())})
    assert str(caught.value) == ERRORS[text]


def test_lists_that_are_written_out_have_one_type() -> None:
    with pytest.raises(CompileError, match="expected type 'int' but found 'string'"):
        ENVIRONMENT.compile("[1, 'a']")
    with pytest.raises(CompileError, match="expected type 'int' but found 'string'"):
        ENVIRONMENT.compile("{'a': 1, 'b': 'x'}")


def test_a_pattern_that_is_none_is_found_before_evaluation() -> None:
    with pytest.raises(InstantiationError, match=r"error parsing regexp: unexpected \): `\)`"):
        ENVIRONMENT.compile("'a'.find(')')")


class _Answers:
    """Allows to read, and remembers what it was asked."""

    def __init__(self) -> None:
        self.questions: list[Question] = []

    def decide(self, question: Question) -> Decision:
        self.questions.append(question)
        return Decision(allowed=question.verb == "get", reason=f"{question.verb} of {question.resource}")


def test_the_authorizer_is_asked_for_what_was_built() -> None:
    answers = _Answers()
    text = (
        "authorizer.serviceAccount('ns', 'robot').group('apps').resource('deployments').subresource('scale')"
        ".namespace('prod').name('web').fieldSelector('a=b').labelSelector('c=d').check('get').allowed()"
    )
    assert ENVIRONMENT.compile(text).evaluate({"authorizer": Authorizer(answers)}) is True
    assert answers.questions == [
        Question(
            verb="get",
            service_account=("ns", "robot"),
            group="apps",
            resource="deployments",
            subresource="scale",
            namespace="prod",
            name="web",
            field_selector="a=b",
            label_selector="c=d",
        )
    ]


def test_the_requests_resource_can_be_checked() -> None:
    answers = _Answers()
    resource = Authorizer(answers).request_resource(group="", resource="pods", namespace="default", name="web")
    program = ENVIRONMENT.compile("authorizer.requestResource.check('delete').reason()")
    assert program.variables == ("authorizer.requestResource",)
    assert program.evaluate({"authorizer.requestResource": resource}) == "delete of pods"


def test_one_call_affords_two_checks() -> None:
    two = "authorizer.path('/a').check('get').allowed() && authorizer.path('/b').check('get').allowed()"
    bindings = {"authorizer": Authorizer(_Answers())}
    assert ENVIRONMENT.compile(two).measure(bindings).error is None
    three = f"{two} && authorizer.path('/c').check('get').allowed()"
    assert str(ENVIRONMENT.compile(three).measure(bindings).error).startswith("operation cancelled")


def test_objects_and_patches_are_constructed() -> None:
    made = ENVIRONMENT.compile(
        "Object{metadata: Object.metadata{labels: {'a': x.b}}, ?spec: x.?none, kind: 'Pod'}"
    ).evaluate({"x": {"b": "c"}})
    assert patches.misnamed_types(made) == []
    assert patches.to_json(made) == {"metadata": {"labels": {"a": "c"}}, "kind": "Pod"}
    patch = ENVIRONMENT.compile("[JSONPatch{op: 'add', path: '/spec/' + x.b, value: Object.spec{n: 1}}]")
    assert patches.to_json(patch.evaluate({"x": {"b": "c"}})) == [{"op": "add", "path": "/spec/c", "value": {"n": 1}}]


def test_objects_with_wrong_type_names_are_found() -> None:
    made = ENVIRONMENT.compile("Object{spec: Object.status{}}").evaluate({})
    assert patches.misnamed_types(made) == [
        'unexpected type name "Object.status", expected "Object.spec", which matches field name path from root Object type'
    ]


def test_patches_have_their_own_fields_only() -> None:
    with pytest.raises(CompileError, match="expected type of field 'nope' is '' but provided type is 'int'"):
        ENVIRONMENT.compile("JSONPatch{nope: 1}")
    with pytest.raises(CompileError, match="expected type of field 'op' is 'string' but provided type is 'int'"):
        ENVIRONMENT.compile("JSONPatch{op: 1}")
    with pytest.raises(CompileError, match="undeclared reference to 'Nope'"):
        ENVIRONMENT.compile("Nope{}")


@pytest.mark.parametrize(
    ("text", "message"),
    {
        "'%d'.format([x])": "<input>:1:14: error during formatting: decimal clause can only be used on integers, was given string",
        "'%d %s'.format([1])": "<input>:1:15: index 1 out of range",
        "'%d'.format([1, 2])": "<input>:1:12: too many arguments supplied to string.format (expected 1, got 2)",
        "'%q'.format([1])": '<input>:1:12: could not parse formatting clause: unrecognized formatting clause "q"',
        "'%'.format([])": "<input>:1:11: unexpected end of string",
    }.items(),
)
def test_a_format_that_is_written_out_is_checked_when_it_is_compiled(text: str, message: str) -> None:
    environment = Environment(variables={"x": types.STRING}, libraries=kubernetes.REGISTRY)
    with pytest.raises(CompileError) as error:
        environment.compile(text)
    assert message in str(error.value)
