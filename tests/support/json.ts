/** Parses JSON whose shape is not known yet. */
export function parseJson(text: string): unknown {
  return JSON.parse(text);
}

/** The text at a path of members in a JSON value. */
export function textAt(value: unknown, ...path: string[]): string {
  let at = value;
  for (const member of path) at = Reflect.get(Object(at), member);
  if (typeof at === "string") return at;
  throw new Error(`no text at ${path.join(".")} of ${JSON.stringify(value)}`);
}
