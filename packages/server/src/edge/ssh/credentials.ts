/**
 * The relay token in a header Authorization or Proxy-Authorization: `Bearer`, or
 * the password of `Basic` for tools that know user and password only.
 *
 * @returns `undefined` when there is none.
 */
export function relayToken(header: string | undefined): string | undefined {
  const [, scheme = "", value = ""] = /^(\S+) +(\S+)$/.exec(header ?? "") ?? [];
  if (scheme.toLowerCase() === "bearer") return value;
  if (scheme.toLowerCase() !== "basic") return undefined;
  const credentials = Buffer.from(value, "base64").toString("latin1");
  const colon = credentials.indexOf(":");
  return colon < 0 ? undefined : credentials.slice(colon + 1);
}
