"""`images build|push|list|pin`: the images of the stages, for people and for CI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from automation import options as shared
from automation.console import Terminal
from automation.images.options import OUTPUT, PLATFORMS, ImageOptions, Network

app = typer.Typer(
    no_args_is_help=True,
    help="The builder and deployer images: for several platforms, with bills of materials, in your registry.",
    epilog="Passwords come from the environment alone: PIP_INDEX_URL, NPM_CONFIG_REGISTRY, HTTPS_PROXY, "
    "APHEX_DEBIAN_MIRROR and APHEX_PROGRAMS_URL may have one, and reach the build as a secret of the build.",
)

Platforms = Annotated[
    list[str] | None,
    typer.Option(
        "--platform",
        metavar="linux/ARCH",
        help="For which machines; can be repeated. [default: linux/amd64 and linux/arm64]",
        show_default=False,
    ),
]
BaseImage = Annotated[
    str | None,
    typer.Option(help="Build on this image instead of the pinned one: Debian 12 or newer, best named by its digest."),
]
Debootstrap = Annotated[
    bool, typer.Option("--debootstrap", help="Make the base from Debian packages; with buildah, for this machine.")
]
Programs = Annotated[
    Path | None,
    typer.Option(
        help="A folder with bin/pulumi, bin/kubectl and plugins/, instead of downloading what is pinned.",
        file_okay=False,
    ),
]
CaBundle = Annotated[
    Path | None,
    typer.Option(help="Authorities that the build and the images trust besides Debian's, as PEM.", dir_okay=False),
]
PackageIndex = Annotated[str, typer.Option(help="Index of Python packages.")]
NpmRegistry = Annotated[str, typer.Option(help="Registry of npm packages.")]
DebianMirror = Annotated[str, typer.Option(help="Mirror of Debian packages.")]
ProgramsUrl = Annotated[
    str, typer.Option(help="Mirror of the released programs: https://HOST/PATH is taken from URL/HOST/PATH.")
]
Proxy = Annotated[str, typer.Option(help="Proxy for HTTP and HTTPS during the build.")]
NoProxy = Annotated[str, typer.Option(help="Hosts that are reached without it.")]
Tool = Annotated[
    Literal["docker", "buildah"] | None,
    typer.Option(help="What builds. [default: docker with buildx, else buildah]", show_default=False),
]
Output = Annotated[Path, typer.Option(help="Folder of what is built and of what describes it.", file_okay=False)]
Registry = Annotated[str, typer.Option(help="HOST or HOST/PREFIX to push to, such as an ECR registry.")]
Profile = Annotated[str | None, typer.Option(help="AWS profile whose credentials may push to ECR.")]


@app.command()
def build(
    platforms: Platforms = None,
    base_image: BaseImage = None,
    debootstrap: Debootstrap = False,
    programs: Programs = None,
    ca_bundle: CaBundle = None,
    package_index: PackageIndex = "",
    npm_registry: NpmRegistry = "",
    debian_mirror: DebianMirror = "",
    programs_url: ProgramsUrl = "",
    proxy: Proxy = "",
    no_proxy: NoProxy = "",
    tool: Tool = None,
    output: Output = OUTPUT,
    json: shared.Json = False,
) -> None:
    """Build both images as OCI layouts; unchanged inputs build nothing."""
    network = Network(
        package_index=package_index,
        npm_registry=npm_registry,
        debian_mirror=debian_mirror,
        programs_url=programs_url,
        proxy=proxy,
        no_proxy=no_proxy,
    )
    chosen = ImageOptions(
        platforms=tuple(platforms or PLATFORMS),
        base_image=base_image,
        debootstrap=debootstrap,
        programs=programs,
        ca_bundle=ca_bundle,
        network=network,
        tool=tool,
        output=output,
    )
    _publish(chosen, Terminal(json_output=json))


@app.command()
def push(
    registry: Registry,
    platforms: Platforms = None,
    base_image: BaseImage = None,
    debootstrap: Debootstrap = False,
    programs: Programs = None,
    ca_bundle: CaBundle = None,
    package_index: PackageIndex = "",
    npm_registry: NpmRegistry = "",
    debian_mirror: DebianMirror = "",
    programs_url: ProgramsUrl = "",
    proxy: Proxy = "",
    no_proxy: NoProxy = "",
    tool: Tool = None,
    output: Output = OUTPUT,
    profile: Profile = None,
    create_repositories: Annotated[
        bool, typer.Option("--create-repositories", help="Make the ECR repositories that are missing.")
    ] = False,
    json: shared.Json = False,
) -> None:
    """Push both images, built as far as they are not; what the registry has is not pushed again."""
    network = Network(
        package_index=package_index,
        npm_registry=npm_registry,
        debian_mirror=debian_mirror,
        programs_url=programs_url,
        proxy=proxy,
        no_proxy=no_proxy,
    )
    chosen = ImageOptions(
        registry=registry,
        platforms=tuple(platforms or PLATFORMS),
        base_image=base_image,
        debootstrap=debootstrap,
        programs=programs,
        ca_bundle=ca_bundle,
        network=network,
        tool=tool,
        output=output,
        profile=profile,
        create_repositories=create_repositories,
    )
    _publish(chosen, Terminal(json_output=json))


@app.command("list")
def list_images(output: Output = OUTPUT, json: shared.Json = False) -> None:
    """List the images that were built here."""
    from automation.images.layouts import built

    terminal = Terminal(json_output=json)
    found = built(output)
    terminal.result(found)
    for each in found:
        terminal.show(f"{each['name']}  {each['digest']}  {' '.join(each['platforms'])}")
    if not found:
        terminal.say(f"There are no images in {output}.")


@app.command()
def pin(
    base: Annotated[bool, typer.Option("--base/--no-base", help="Take the newest base image, too.")] = True,
    checksums: Annotated[
        bool,
        typer.Option(
            "--checksums/--no-checksums",
            help="Ask for the checksums of new releases. Without them, no image can be built of these.",
        ),
    ] = True,
    json: shared.Json = False,
) -> None:
    """Bring docker/pins.json up to date with the lock files and with what the programs' projects released."""
    from automation.images import pinning
    from automation.images.pins import read_pins, write_pins

    terminal = Terminal(json_output=json)
    pins = read_pins()
    image = pinning.newest_base(pins.base) if base else pins.base
    renewed = pinning.renewed(pins, pinning.lock_text(), pinning.fetch if checksums else None, image)
    write_pins(renewed)
    terminal.result(renewed.model_dump())
    terminal.say("Nothing has changed." if renewed == pins else "docker/pins.json is written: review it and commit it.")


def _publish(chosen: ImageOptions, terminal: Terminal) -> None:
    from automation.images.publish import publish

    made = publish(chosen, lambda line: terminal.say(f"  {line}", style="dim"))
    for image in (made.builder, made.deployer):
        terminal.show(f"{image.name}: {image.tagged}" + (" (unchanged)" if image.unchanged else ""))
        if made.pushed:
            terminal.show(f"  {image.pinned}")
        for path in image.files:
            terminal.show(f"  {path}")
    terminal.result(made.document())
