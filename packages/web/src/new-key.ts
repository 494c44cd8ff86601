/** An idempotency key that nobody else makes. (`crypto.randomUUID` is missing on pages without TLS.) */
export function newKey(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}
