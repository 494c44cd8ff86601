import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  GitCredentialsSchema,
  GitIdentitySchema,
  GitPlaceSchema,
  GitProgress as ProgressMessage,
} from "@nullspace/proto/agent";
import type { AgentConnection, AttemptOptions } from "../connection.js";
import { InternalError } from "../errors.js";
import type { GitAuth, GitOptions, GitPerson, GitRemoteOptions } from "./options.js";

/** Where git works, and as whom. */
export function placeOf({ path, user, envs }: GitOptions): MessageInitShape<typeof GitPlaceSchema> {
  return { path: path ?? "", user: user ?? "", envs: envs ?? {} };
}

/** Credentials of a call. */
export function credentialsOf(
  auth: GitAuth | undefined,
): MessageInitShape<typeof GitCredentialsSchema> {
  if (auth === undefined) return {};
  if ("privateKey" in auth) {
    const { privateKey, passphrase = "", knownHosts = "" } = auth;
    return { credentials: { case: "sshKey", value: { privateKey, passphrase, knownHosts } } };
  }
  const { username, password } = auth;
  return { credentials: { case: "password", value: { username, password } } };
}

/** Somebody, if named. */
export function identityOf(
  person: GitPerson | undefined,
): MessageInitShape<typeof GitIdentitySchema> | undefined {
  return person && { name: person.name, email: person.email };
}

interface Step<T> {
  event:
    | { case: "progress"; value: ProgressMessage }
    | { case: "done"; value: T }
    | { case: undefined; value?: undefined };
}

/** Makes a call that tells its progress before its result. Whatever ends it early ends git. */
export async function withProgress<T>(
  agent: AgentConnection,
  options: GitRemoteOptions,
  attempt: (options: AttemptOptions) => AsyncIterable<Step<T>>,
): Promise<T> {
  for await (const { event } of agent.stream(options, attempt)) {
    if (event.case === "done") return event.value;
    if (event.case !== "progress") continue;
    const { phase, done, total, message } = event.value;
    options.onProgress?.({
      phase,
      done: Number(done),
      total: total === 0n ? undefined : Number(total),
      message,
    });
  }
  throw new InternalError("the machine ended a Git call without its result");
}
