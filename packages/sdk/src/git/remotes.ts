import type { AgentConnection } from "../connection.js";
import type { AddRemoteOptions, GitOptions, RemoveRemoteOptions } from "./options.js";
import { placeOf } from "./request.js";
import type { GitRemote } from "./results.js";

/** The remotes of a repository. */
export class GitRemotes {
  readonly #agent: AgentConnection;

  /** @internal */
  constructor(agent: AgentConnection) {
    this.#agent = agent;
  }

  /** Lists them, without passwords that may be in their URLs. */
  async list(options: GitOptions = {}): Promise<GitRemote[]> {
    const { remotes } = await this.#agent.unary(
      options,
      (attempt) => this.#agent.git.listRemotes({ place: placeOf(options) }, attempt),
      { idempotent: true },
    );
    return remotes.map(({ name, fetchUrl, pushUrl }) => ({ name, fetchUrl, pushUrl }));
  }

  /**
   * Adds a remote.
   *
   * @throws GitError `GIT_EXISTS`
   * @throws InvalidArgumentError for a URL that holds a password
   */
  async add(options: AddRemoteOptions): Promise<void> {
    const { name, url, replace = false } = options;
    const request = { place: placeOf(options), name, url, replace };
    await this.#agent.unary(options, (attempt) => this.#agent.git.addRemote(request, attempt));
  }

  /**
   * Removes a remote and what was fetched from it.
   *
   * @throws GitError `GIT_NOT_FOUND`
   */
  async remove(options: RemoveRemoteOptions): Promise<void> {
    const request = { place: placeOf(options), name: options.name };
    await this.#agent.unary(options, (attempt) => this.#agent.git.removeRemote(request, attempt));
  }
}
