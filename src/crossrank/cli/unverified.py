"""The flag that several commands have for models whose own code would come with them."""

import click

allow_unverified = click.option(
    "--allow-unverified",
    is_flag=True,
    help="Open models too whose scores were never compared with those of their authors' code.",
)
