import { TOKEN_FAMILIES } from "@nullspace/proto/tokens";
import { hashOf } from "../kept-hash.js";
import { randomAlphanumeric } from "../random.js";

/** 227 bits. */
const SECRET_LENGTH = 44;
const { prefix } = TOKEN_FAMILIES["ssh-relay"];
const TOKEN = new RegExp(`^${prefix}([a-z0-9]{12})_[a-z0-9]{${SECRET_LENGTH}}$`);

/** Makes the relay token of an access: `nssh_<access>_<secret>`, of which only a hash is kept. */
export function newRelayToken(accessId: string): { token: string; hash: string } {
  const token = `${prefix}${accessId}_${randomAlphanumeric(SECRET_LENGTH)}`;
  return { token, hash: hashOf(token) };
}

/** The access that a token names; `undefined` for what is no relay token, as an API key. */
export function accessIn(token: string): string | undefined {
  return TOKEN.exec(token)?.[1];
}
