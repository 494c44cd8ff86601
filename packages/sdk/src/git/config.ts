import type { AgentConnection } from "../connection.js";
import type { ConfigOptions } from "./options.js";
import { placeOf } from "./request.js";
import type { GitConfigEntry } from "./results.js";

/** Git's configuration, of a repository or of the guest user. */
export class GitConfig {
  readonly #agent: AgentConnection;

  /** @internal */
  constructor(agent: AgentConnection) {
    this.#agent = agent;
  }

  /** The value that counts; undefined when there is none. */
  async get(name: string, options: ConfigOptions = {}): Promise<string | undefined> {
    return (await this.#read(name, options)).at(-1)?.value;
  }

  /** Every value, in the order in which git reads them: the last of a name counts. */
  list(options: ConfigOptions = {}): Promise<GitConfigEntry[]> {
    return this.#read("", options);
  }

  /**
   * Sets a name to one value.
   *
   * @example
   * ```ts
   * await machine.git.config.set("user.name", "Ada", { global: true });
   * ```
   */
  async set(name: string, value: string, options: ConfigOptions = {}): Promise<void> {
    await this.#write(name, value, options);
  }

  /** Removes every value of a name; that there is none is fine. */
  async unset(name: string, options: ConfigOptions = {}): Promise<void> {
    await this.#write(name, undefined, options);
  }

  async #read(name: string, options: ConfigOptions): Promise<GitConfigEntry[]> {
    const request = { place: placeOf(options), name, global: options.global ?? false };
    const { entries } = await this.#agent.unary(
      options,
      (attempt) => this.#agent.git.getConfig(request, attempt),
      { idempotent: true },
    );
    return entries.map(({ name: key, value, scope }) => ({ name: key, value, scope }));
  }

  async #write(name: string, value: string | undefined, options: ConfigOptions): Promise<void> {
    const { global = false } = options;
    const request = {
      place: placeOf(options),
      name,
      global,
      ...(value !== undefined && { value }),
    };
    await this.#agent.unary(options, (attempt) => this.#agent.git.setConfig(request, attempt), {
      idempotent: true,
    });
  }
}
