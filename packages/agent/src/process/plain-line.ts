/** What stands for itself in every shell, in the name of a program and in its arguments. */
const PLAIN = /^[\w@%+:,./-]+( +[\w@%+:,./=-]+)*$/;

/** What shells do themselves. `true` and `false` are not among them: the programs do the same. */
const OWN = new Set(
  (
    ". : alias bg bind break builtin caller cd command compgen complete compopt continue declare " +
    "dirs disown echo enable eval exec exit export fc fg getopts hash help history jobs kill let " +
    "local logout mapfile popd printf pushd pwd read readarray readonly return set shift shopt " +
    "source suspend test times trap type typeset ulimit umask unalias unset wait " +
    "if then else elif fi case esac for select while until do done in function time coproc"
  ).split(" "),
);

/** Variables by which a shell does other things first. */
const STEERING = /^(?:BASH_ENV|BASH_FUNC_.*|BASHOPTS|SHELLOPTS)=/;

/**
 * The words of a line for which a shell would do nothing but start one program, in
 * whose place it can be started at once: a shell takes as long to start as most programs.
 * Nothing for any other line, and where there is any doubt. A program that cannot be
 * started so is still a matter for the shell, which knows what to say.
 *
 * @param environment - of the process, as `NAME=value`.
 */
export function plainWords(line: string, environment: readonly string[]): string[] | undefined {
  if (!PLAIN.test(line)) return undefined;
  const words = line.split(/ +/);
  if (OWN.has(words[0] ?? "") || environment.some((one) => STEERING.test(one))) return undefined;
  return words;
}
