import { Argument, type Command } from "commander";

/** Adds `nullspace completion`. */
export function addCompletionCommand(program: Command): void {
  program
    .command("completion")
    .description("print a script that completes commands and options in your shell")
    .addArgument(new Argument("<shell>").choices(["bash", "zsh", "fish"]))
    .addHelpText(
      "after",
      `
Examples:
  $ nullspace completion bash > /etc/bash_completion.d/nullspace
  $ nullspace completion zsh > "\${fpath[1]}/_nullspace"
  $ nullspace completion fish > ~/.config/fish/completions/nullspace.fish`,
    )
    .action(async (shell: string) => {
      const { completionScript } = await import("./completion.js");
      process.stdout.write(completionScript(program, shell));
    });
}
