import type { Command } from "commander";

/** A command by the words that lead to it, and the words that may follow. */
interface Node {
  path: string[];
  commands: { name: string; description: string }[];
  options: { flag: string; description: string }[];
}

/** A script that completes what `program` understands, for one shell. */
export function completionScript(program: Command, shell: string): string {
  const nodes = walk(program, []);
  if (shell === "fish") return fish(nodes);
  if (shell === "zsh")
    return `#compdef nullspace\nautoload -U bashcompinit && bashcompinit\n${bash(nodes)}`;
  return bash(nodes);
}

function walk(command: Command, path: string[]): Node[] {
  const node: Node = {
    path,
    commands: command.commands.map((child) => ({
      name: child.name(),
      description: child.description(),
    })),
    options: command.options.map((option) => ({
      flag: option.long ?? option.short ?? "",
      description: option.description,
    })),
  };
  return [node, ...command.commands.flatMap((child) => walk(child, [...path, child.name()]))];
}

function bash(nodes: Node[]): string {
  const cases = nodes.map(({ path, commands, options }) => {
    const words = [
      ...commands.map(({ name }) => name),
      ...options.map(({ flag }) => flag),
      "--help",
    ];
    return `    "${path.join(" ")}") words="${words.join(" ")}" ;;`;
  });
  return `_nullspace() {
  local word="\${COMP_WORDS[COMP_CWORD]}" path="" words=""
  local i
  for ((i = 1; i < COMP_CWORD && i < 3; i++)); do
    case "\${COMP_WORDS[i]}" in
      -*) break ;;
      *) path="\${path:+$path }\${COMP_WORDS[i]}" ;;
    esac
  done
  case "$path" in
${cases.join("\n")}
    *) path="\${path%% *}" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _nullspace nullspace
`;
}

function fish(nodes: Node[]): string {
  const lines = nodes.flatMap(({ path, commands, options }) => {
    const known = commands.map(({ name }) => name).join(" ");
    const here = path.map((word) => `__fish_seen_subcommand_from ${word}`);
    const notYet = known === "" ? [] : [`not __fish_seen_subcommand_from ${known}`];
    const condition = quote([...here, ...notYet].join("; and ") || "__fish_use_subcommand");
    return [
      ...commands.map(
        ({ name, description }) =>
          `complete -c nullspace -f -n ${condition} -a ${name} -d ${quote(description)}`,
      ),
      ...options.map(
        ({ flag, description }) =>
          `complete -c nullspace -n ${condition} -l ${flag.replace(/^--/, "")} -d ${quote(description)}`,
      ),
    ];
  });
  return `${lines.join("\n")}\n`;
}

function quote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
