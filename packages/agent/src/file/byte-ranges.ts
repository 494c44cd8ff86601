/** The bytes from `start` up to the one before `end`. */
export interface ByteRange {
  start: number;
  end: number;
}

/** Half-open ranges of bytes, merged where they touch. */
export class ByteRanges {
  /** Sorted, apart from each other. */
  #ranges: ByteRange[] = [];

  /** How many ranges there are. */
  get count(): number {
    return this.#ranges.length;
  }

  /** The ranges in order. */
  get all(): readonly ByteRange[] {
    return this.#ranges;
  }

  add(start: number, end: number): void {
    if (start >= end) return;
    const first = this.#firstEndingAtOrAfter(start);
    let after = first;
    let merged = { start, end };
    for (let range = this.#ranges[after]; range !== undefined && range.start <= end;) {
      merged = { start: Math.min(merged.start, range.start), end: Math.max(merged.end, range.end) };
      range = this.#ranges[++after];
    }
    this.#ranges.splice(first, after - first, merged);
  }

  /** Whether they are all bytes from 0 to a size, and none beyond. */
  areExactly(size: number): boolean {
    const [only, ...others] = this.#ranges;
    if (only === undefined) return size === 0;
    return others.length === 0 && only.start === 0 && only.end === size;
  }

  #firstEndingAtOrAfter(offset: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ranges[middle]?.end ?? 0) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
