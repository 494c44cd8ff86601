import type { AgentConnection } from "../connection.js";
import { stashOf } from "./from-message.js";
import type { GitOptions, SaveStashOptions, StashOptions } from "./options.js";
import { placeOf } from "./request.js";
import type { GitStash as StashEntry } from "./results.js";

/** Changes that are put aside. */
export class GitStashes {
  readonly #agent: AgentConnection;

  /** @internal */
  constructor(agent: AgentConnection) {
    this.#agent = agent;
  }

  /** Puts changes aside and makes the work tree clean; false when there were none. */
  async save(options: SaveStashOptions = {}): Promise<boolean> {
    const { message = "", includeUntracked = false, keepIndex = false, files = [] } = options;
    const place = placeOf(options);
    const request = { place, message, includeUntracked, keepIndex, files: [...files] };
    const { saved } = await this.#agent.unary(options, (attempt) =>
      this.#agent.git.saveStash(request, attempt),
    );
    return saved;
  }

  /** Lists them, the newest first. */
  async list(options: GitOptions = {}): Promise<StashEntry[]> {
    const { stashes } = await this.#agent.unary(
      options,
      (attempt) => this.#agent.git.listStashes({ place: placeOf(options) }, attempt),
      { idempotent: true },
    );
    return stashes.map(stashOf);
  }

  /**
   * Brings changes back, and keeps them aside as well.
   *
   * @throws GitError `GIT_CONFLICT`, `GIT_NOT_FOUND`, `GIT_DIRTY`
   */
  apply(options: StashOptions = {}): Promise<void> {
    return this.#apply(options, false);
  }

  /** As {@link apply}, and drops them when they could be applied. */
  pop(options: StashOptions = {}): Promise<void> {
    return this.#apply(options, true);
  }

  /**
   * Forgets changes that are put aside.
   *
   * @throws GitError `GIT_NOT_FOUND`
   */
  async drop(options: StashOptions = {}): Promise<void> {
    const request = { place: placeOf(options), index: options.index ?? 0 };
    await this.#agent.unary(options, (attempt) => this.#agent.git.dropStash(request, attempt));
  }

  async #apply(options: StashOptions, pop: boolean): Promise<void> {
    const request = { place: placeOf(options), index: options.index ?? 0, pop };
    await this.#agent.unary(options, (attempt) => this.#agent.git.applyStash(request, attempt));
  }
}
