import { Audit } from "./audit.js";
import { type ConnectionOptions, resolveConfiguration } from "./configuration.js";
import { Connection } from "./connection.js";
import { Events } from "./events.js";
import { Keys } from "./keys.js";
import { Machines } from "./machines.js";
import { Projects } from "./projects.js";
import { Snapshots } from "./snapshots.js";

/**
 * A client for one server and one key, where the static methods of `Machine`
 * with their one default are not enough.
 *
 * @example
 * ```ts
 * const staging = new Nullspace({ url: "https://staging.example.com", apiKey: stagingKey });
 * const machine = await staging.machines.create();
 * ```
 */
export class Nullspace implements AsyncDisposable {
  /** URL of the server. */
  readonly url: string;
  /** The machines of this account. */
  readonly machines: Machines;
  /** The snapshots of this account. */
  readonly snapshots: Snapshots;
  /** What happened to machines and snapshots of this account. */
  readonly events: Events;
  /** The API keys of this account. */
  readonly keys: Keys;
  /** Projects, their limits and what they hold. */
  readonly projects: Projects;
  /** Who did what. */
  readonly audit: Audit;
  readonly #connection: Connection;

  /**
   * Connects when the first call is made.
   *
   * @throws AuthError when no key is given and the environment has none
   * @throws InvalidArgumentError when the URL is not one
   */
  constructor(options: ConnectionOptions = {}) {
    const configuration = resolveConfiguration(options);
    this.url = configuration.url;
    this.#connection = new Connection(configuration);
    this.machines = new Machines(this.#connection);
    this.snapshots = new Snapshots(this.#connection);
    this.events = new Events(this.#connection);
    this.keys = new Keys(this.#connection);
    this.projects = new Projects(this.#connection);
    this.audit = new Audit(this.#connection);
  }

  /** Cancels every call in flight and closes the connection. Machines run on. */
  close(): void {
    this.#connection.close();
  }

  /** Same as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
