/** A request's target without some of its parameters. */
export interface StrippedTarget {
  readonly target: string;
  /** What the parameters that were taken out held, by name; the last of several. */
  readonly values: ReadonlyMap<string, string>;
}

/** Takes parameters out of a request's target and leaves the rest as it is, byte by byte. */
export function stripParameters(target: string, names: readonly string[]): StrippedTarget {
  const at = target.indexOf("?");
  if (at < 0) return { target, values: new Map() };
  const values = new Map<string, string>();
  const kept = target
    .slice(at + 1)
    .split("&")
    .filter((part) => {
      const [name = "", ...value] = part.split("=");
      const decoded = decode(name);
      if (!names.includes(decoded)) return true;
      values.set(decoded, decode(value.join("=")));
      return false;
    });
  if (values.size === 0) return { target, values };
  const query = kept.join("&");
  return { target: target.slice(0, at) + (query === "" ? "" : `?${query}`), values };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
