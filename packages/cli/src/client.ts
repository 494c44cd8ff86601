import { Nullspace } from "@nullspace/sdk";
import { type AccountOptions, resolveAccount } from "./configuration.js";

/** A client for the account that the options, the environment or the files name. */
export async function openClient(options: AccountOptions): Promise<Nullspace> {
  const { url, apiKey } = await resolveAccount(options);
  return new Nullspace({ url, apiKey });
}
