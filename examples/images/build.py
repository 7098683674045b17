"""Small images from what a Debian machine has, with no registry and no builder: ``python examples/images/build.py DIR``.

Writes ``DIR/<name>.tar`` for each image below; ``steersman image load DIR/<name>.tar`` puts it on every node. A pod names
it ``localhost/examples/<name>:1``: nothing is ever looked for on the network.

    busybox   a shell and the usual tools
    web       busybox's httpd on port 8080: files and CGI scripts below /www
    echo      sends back what it gets, TCP and UDP, on port 7777 (PREFIX_HOSTNAME=1 puts the pod's name before it)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from steersman.cluster.oci import Directory, Entry, File, ImageBuild, ImageConfig, Layout
from steersman.cluster.rootfs import architecture, base, busybox, programs

PREFIX = "localhost/examples"
VERSION = "1"

INDEX_PAGE = """\
#!/bin/sh
echo "Content-Type: text/plain"
echo
echo "Hello from $(hostname)"
"""

ECHO_SERVER = """\
use strict;
use warnings;
use Socket;

my $port = $ENV{PORT} || 7777;
my $prefix = $ENV{PREFIX_HOSTNAME} ? do { open my $f, '<', '/proc/sys/kernel/hostname'; chomp(my $n = <$f>); "$n " } : '';
$SIG{CHLD} = 'IGNORE';
$SIG{TERM} = $SIG{INT} = sub { exit 0 };

socket(my $udp, PF_INET, SOCK_DGRAM, getprotobyname('udp') || 17) or die "udp: $!";
bind($udp, sockaddr_in($port, INADDR_ANY)) or die "udp bind: $!";
socket(my $tcp, PF_INET, SOCK_STREAM, getprotobyname('tcp') || 6) or die "tcp: $!";
setsockopt($tcp, SOL_SOCKET, SO_REUSEADDR, pack('l', 1));
bind($tcp, sockaddr_in($port, INADDR_ANY)) or die "tcp bind: $!";
listen($tcp, 128) or die "listen: $!";
$| = 1;
print "echo on port $port, TCP and UDP\\n";

while (1) {
    my $ready = '';
    vec($ready, fileno($_), 1) = 1 for $udp, $tcp;
    next if select($ready, undef, undef, undef) < 0;
    if (vec($ready, fileno($udp), 1)) {
        my $from = recv($udp, my $data, 65535, 0);
        send($udp, "$prefix$data", 0, $from) if defined $from;
    }
    if (vec($ready, fileno($tcp), 1) && accept(my $client, $tcp)) {
        if (fork() == 0) {
            syswrite($client, $prefix) if length $prefix;
            while (sysread($client, my $data, 65536)) { syswrite($client, $data) }
            exit 0;
        }
        close $client;
    }
}
"""


def busybox_image() -> ImageBuild:
    return _image("busybox", ImageConfig(architecture=architecture(), command=("sh",)), [*base(), *busybox()])


def web_image() -> ImageBuild:
    config = ImageConfig(
        architecture=architecture(),
        entrypoint=("httpd", "-f", "-v", "-p", "8080", "-h", "/www"),
        exposed_ports=("8080/tcp",),
    )
    pages: list[Entry] = [
        Directory(path="www"),
        File(path="www/index.html", data=b"<!doctype html><title>web</title>It works.\n"),
        Directory(path="www/cgi-bin"),
        File(path="www/cgi-bin/hello", data=INDEX_PAGE.encode(), mode=0o755),
    ]
    return _image("web", config, [*base(), *busybox()], pages)


def echo_image() -> ImageBuild:
    config = ImageConfig(
        architecture=architecture(),
        entrypoint=("/usr/bin/perl", "/echo.pl"),
        exposed_ports=("7777/tcp", "7777/udp"),
    )
    perl = Path("/usr/bin/perl")  # perl-base: on every Debian machine
    modules = [Path(path) for root in _perl_libraries() for path in _module_files(root)]
    files = [*base(), *programs(perl, data=modules), File(path="echo.pl", data=ECHO_SERVER.encode())]
    return _image("echo", config, files)


def _perl_libraries() -> list[Path]:
    return sorted(path for path in Path("/usr/lib").glob("*/perl-base") if path.is_dir())


def _module_files(root: Path) -> list[str]:
    """The modules that the echo server uses, and what those use."""
    names = (
        "strict.pm", "warnings.pm", "Socket.pm", "Exporter.pm", "XSLoader.pm", "warnings/register.pm", "Config.pm",
        "auto/Socket/Socket.so", "Exporter/Heavy.pm", "Carp.pm", "vars.pm", "bytes.pm", "overload.pm", "overloading.pm",
    )  # fmt: skip
    return [str(root / name) for name in names if (root / name).exists()]


def _image(name: str, config: ImageConfig, *layers: Sequence[Entry]) -> ImageBuild:
    return ImageBuild(names=(f"{PREFIX}/{name}:{VERSION}",), platforms=((config, layers),))


IMAGES: Mapping[str, Callable[[], ImageBuild]] = {"busybox": busybox_image, "web": web_image, "echo": echo_image}


def main(directory: Path) -> None:
    for name, build in IMAGES.items():
        layout = Layout()
        image = build()
        layout.add(image)
        target = directory / f"{name}.tar"
        layout.write(target)
        print(f"{target}  {image.names[0]}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
