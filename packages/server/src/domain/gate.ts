import type { Scope } from "@nullspace/proto";
import type { Audit } from "./audit.js";
import { type Caller, requireScope } from "./caller.js";
import type { Keys } from "./keys.js";
import type { Quotas } from "./quotas.js";
import { RateLimits } from "./rate-limits.js";

/** A call that somebody wants to make. */
export interface Attempt {
  readonly authorization: string | null | undefined;
  /** "nullspace.v1.MachineService/Create" */
  readonly rpc: string;
  readonly scope: Scope;
  readonly requestId: string;
}

/** What {@link Gate} needs. */
export interface GateOptions {
  readonly keys: Keys;
  readonly quotas: Quotas;
  readonly audit: Audit;
}

/** Lets calls in: with a good key, not too many of a project, and only what the key is for. */
export class Gate {
  readonly #options: GateOptions;
  readonly #rates = new RateLimits();

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /**
   * Looks at a call before anything else of it is read.
   *
   * @throws Fault INVALID_API_KEY, RATE_LIMITED, SCOPE_MISSING.
   */
  async admit({ authorization, rpc, scope, requestId }: Attempt): Promise<Caller> {
    const { keys, quotas, audit } = this.#options;
    const key = await keys.authenticate(authorization);
    const caller: Caller = { keyId: key.id, projectId: key.projectId, scopes: key.scopes };
    this.#rates.admit(key.projectId, quotas.effective(key.projectLimits));
    try {
      requireScope(caller, scope);
    } catch (error) {
      await audit.note(caller, { rpc, objectId: "", outcome: "SCOPE_MISSING", requestId });
      throw error;
    }
    return caller;
  }
}
