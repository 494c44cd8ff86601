/** A range of IPv4 addresses: those whose first `length` bits are those of `base`. */
export interface Cidr {
  readonly base: number;
  /** 0 to 32. */
  readonly length: number;
}

/** Reads an address in dotted decimals, and no other notation: "010.1" is not one. */
export function parseAddress(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part)))
    return undefined;
  const bytes = parts.map(Number);
  if (bytes.some((byte) => byte > 255)) return undefined;
  return bytes.reduce((address, byte) => address * 256 + byte, 0);
}

/** Reads "203.0.113.0/24", or an address, which is a range of one. */
export function parseCidr(text: string): Cidr | undefined {
  const [address = "", length = "32", ...rest] = text.split("/");
  const base = parseAddress(address);
  if (base === undefined || rest.length > 0 || !/^(0|[1-9]\d?)$/.test(length)) return undefined;
  const bits = Number(length);
  if (bits > 32 || base % 2 ** (32 - bits) !== 0) return undefined;
  return { base, length: bits };
}

/** @throws Error for what is none: for ranges that are written in the source, or were checked. */
export function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(`not a range of addresses: ${text}`);
  return parsed;
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

export function formatCidr({ base, length }: Cidr): string {
  return `${formatAddress(base)}/${length}`;
}

/** Whether all of `inner` lies in `outer`. */
export function contains(outer: Cidr, inner: Cidr): boolean {
  if (inner.length < outer.length) return false;
  const size = 2 ** (32 - outer.length);
  return Math.floor(inner.base / size) === Math.floor(outer.base / size);
}

/** The same addresses without ranges that lie in others: two ranges are nested or apart. */
export function withoutNested(ranges: readonly Cidr[]): Cidr[] {
  const largestFirst = ranges.toSorted((a, b) => a.length - b.length || a.base - b.base);
  const kept: Cidr[] = [];
  for (const range of largestFirst) {
    if (!kept.some((outer) => contains(outer, range))) kept.push(range);
  }
  return kept;
}
