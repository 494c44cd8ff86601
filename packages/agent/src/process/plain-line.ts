/** What stands for itself in every shell, in the name of a program and in its arguments. */
const PLAIN = /^[\w@+:,./-]+( +[\w@%+:,./=-]+)*$/;

/** What bash does itself, and not by starting a program. */
const OWN = new Set(
  (
    ". : alias bg bind break builtin caller cd command compgen complete compopt continue declare " +
    "dirs disown echo enable eval exec exit export false fc fg getopts hash help history jobs kill let " +
    "local logout mapfile popd printf pushd pwd read readarray readonly return set shift shopt " +
    "source suspend test times trap true type typeset ulimit umask unalias unset wait " +
    "if then else elif fi case esac for select while until do done in function time coproc"
  ).split(" "),
);

/** Programs that do just what bash does itself for a line of one word. */
const SAME = new Map([
  ["true", "/usr/bin/true"],
  ["false", "/usr/bin/false"],
]);

/** Names that bash takes as they are, if they are none of its own. */
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Variables by which bash is steered, or which it changes: all that its manual names but SHELL and TMPDIR,
 * and those by which Debian's takes itself for sshd's, and reads its user's settings.
 */
const STEERING = new RegExp(
  `^(?:${[
    "_|BASH.*|COMP_.*|COMPREPLY|COPROC|HIST.*|LC_.*|MAIL.*|OPT.*|POSIX.*|PROMPT_.*|PS[0-9]|READLINE_.*",
    "[A-Z]?UID|PPID|(?:OLD)?PWD|SHELLOPTS|SHLVL|S?RANDOM|SECONDS|EPOCH.*|LINENO|LINES|COLUMNS|DIRSTACK",
    "GROUPS|FUNC.*|PIPESTATUS|MAPFILE|REPLY|IFS|CDPATH|CHILD_MAX|EMACS|INSIDE_EMACS|ENV|EXECIGNORE|FCEDIT",
    "FIGNORE|GLOBIGNORE|IGNOREEOF|INPUTRC|TEXTDOMAIN.*|TIMEFORMAT|TMOUT|HOSTNAME|HOSTTYPE|MACHTYPE|OSTYPE|auto_resume|histchars|SSH2?_CLIENT",
  ].join("|")})$`,
);

/** Folders by their whole names, so that there is one way to look for a program in them. */
const PLAIN_PATH = /^(?:\/[\w.-]+)+(?::(?:\/[\w.-]+)+)*$/;

/**
 * The words of a line for which bash would do nothing but start one program, in
 * whose place it can be started at once: bash takes as long to start as most programs.
 * Nothing for any other line, where anything steers bash, and where there is any doubt.
 * A program that cannot be started so is still a matter for bash, which knows what to say.
 *
 * @param environment - of the process, as `NAME=value`.
 */
export function plainWords(line: string, environment: readonly string[]): string[] | undefined {
  if (!PLAIN.test(line) || !environment.every(leavesBashAlone)) return undefined;
  const same = SAME.get(line);
  if (same !== undefined) return [same];
  const words = line.split(/ +/);
  return OWN.has(words[0] ?? "") ? undefined : words;
}

function leavesBashAlone(variable: string): boolean {
  const at = variable.indexOf("=");
  const [name, value] = [variable.slice(0, at), variable.slice(at + 1)];
  if (name === "PATH") return PLAIN_PATH.test(value);
  // Of one that it does not know bash would say so.
  if (name === "LANG") return value === "C.UTF-8";
  return NAME.test(name) && !STEERING.test(name);
}
