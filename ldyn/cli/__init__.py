"""The subcommands of `ldyn`, one module each with a `main(arguments) -> exit code`, imported only when called."""
