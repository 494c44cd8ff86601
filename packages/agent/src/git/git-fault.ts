import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/** Most of git's words that an error carries: their end. */
const MOST_TOLD = 4096;

/** How a git that failed ended; texts without secrets. */
export interface GitFailure {
  /** As "push". */
  command: string;
  exitCode: number;
  stdout: string;
  stderr: string;
  /** Paths that are in conflict, when git left some. */
  conflicts?: readonly string[];
}

interface Rule {
  reason: ErrorReason;
  says: RegExp;
  remedy: string;
}

/** What git says in each case, the more particular first. Its language is English: we run it so. */
const RULES: readonly Rule[] = [
  {
    reason: ErrorReason.GIT_AUTH_FAILED,
    says: /Authentication failed|could not read (Username|Password)|Permission denied \(|Host key verification failed|returned error: 40[13]|terminal prompts disabled|unable to read askpass/,
    remedy: "Pass credentials that the remote accepts, in auth.",
  },
  {
    reason: ErrorReason.GIT_REMOTE_NOT_FOUND,
    says: /repository '.*' not found|does not appear to be a git repository|Repository not found|repository .* does not exist|repository not exported|returned error: 404/,
    remedy:
      "Look at the URL; a private repository may be hidden from whoever shows no credentials.",
  },
  {
    reason: ErrorReason.GIT_REMOTE_UNREACHABLE,
    says: /Could not resolve host|unable to (look up|connect)|Connection (refused|timed out|reset|closed)|Failed to connect|No route to host|Network is unreachable|early EOF|unexpected disconnect|hung up unexpectedly|returned error: 5\d\d/,
    remedy: "Is the remote up, and may this machine reach it?",
  },
  {
    reason: ErrorReason.GIT_NOT_A_REPOSITORY,
    says: /not a git repository|must be run in a work tree/,
    remedy: "Give a folder of a repository as path, or make one with init or clone.",
  },
  {
    reason: ErrorReason.GIT_PUSH_REJECTED,
    says: /^!\t|\[(remote )?rejected\]|non-fast-forward|failed to push some refs/m,
    remedy: "Pull first and push again, or force it.",
  },
  {
    reason: ErrorReason.GIT_DIRTY,
    says: /would be overwritten by|commit your changes or stash them|You have unstaged changes|index contains uncommitted changes/,
    remedy: "Commit the changes or stash them first.",
  },
  {
    reason: ErrorReason.GIT_CONFLICT,
    says: /CONFLICT \(|could not apply|unmerged files|resolve your current index first|needs merge|Not possible to fast-forward|divergent branches|unresolved conflict|not something we can merge/,
    remedy: "Resolve the conflicts that status tells, add the files and commit; or reset.",
  },
  {
    reason: ErrorReason.GIT_NOTHING_TO_COMMIT,
    says: /nothing to commit|nothing added to commit|no changes added to commit/,
    remedy: "Add changes first, or set allowEmpty.",
  },
  {
    reason: ErrorReason.GIT_IDENTITY_UNKNOWN,
    says: /tell me who you are|empty ident|auto-detect email/,
    remedy: "Give an author, or set user.name and user.email.",
  },
  {
    reason: ErrorReason.GIT_EXISTS,
    says: /already exists/,
    remedy: "Choose another name, or remove what is there.",
  },
  {
    reason: ErrorReason.GIT_NOT_FOUND,
    says: /did not match any|unknown revision|bad revision|not a valid (object|ref)|invalid reference|invalid object|branch '.*' not found|tag '.*' not found|No such remote|remote ref|Remote branch .* not found|valid reference|any commits yet|ambiguous argument|not a commit|is not a stash|does not match any|No stash entries|only has \d+ entries|could not resolve/i,
    remedy: "List what is there to see its name.",
  },
];

const OTHER: Omit<Rule, "says"> = {
  reason: ErrorReason.GIT_FAILED,
  remedy: "Read what git says in details.stderr.",
};

/** What a git that failed means to a client. */
export function gitFault(failure: GitFailure): Fault {
  const { command, exitCode, stderr, stdout, conflicts = [] } = failure;
  const said = `${stderr}\n${stdout}`;
  const rule = RULES.find(({ says }) => says.test(said)) ?? OTHER;
  const line = headline(stderr) ?? headline(stdout) ?? `it ended with exit code ${exitCode}`;
  return new Fault(rule.reason, `git ${command} failed: ${line}`, {
    remedy: rule.remedy,
    details: {
      command: `git ${command}`,
      exit_code: String(exitCode),
      stderr: (stderr.trim() || stdout.trim()).slice(-MOST_TOLD),
      ...(conflicts.length > 0 && { conflicts: JSON.stringify(conflicts) }),
    },
  });
}

/** The line that says what went wrong, without its label. */
function headline(text: string): string | undefined {
  const lines = text.split(/[\r\n]+/).filter((line) => line.trim() !== "");
  const telling =
    lines.find((line) => /^(fatal|error):/.test(line)) ??
    lines.find((line) => line.startsWith("CONFLICT")) ??
    lines.at(-1);
  return telling?.replace(/^(fatal|error): /, "").slice(0, 500);
}
