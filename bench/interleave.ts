/** One of the things that are compared. */
export interface Side {
  /** Takes one or more samples. */
  take: () => Promise<readonly number[]>;
  samples: number[];
}

/** How often each side is taken. */
export interface Rounds {
  rounds: number;
  /** Rounds before them, whose samples are thrown away. */
  warmUps: number;
  signal: AbortSignal;
}

export function side(take: () => Promise<readonly number[]>): Side {
  return { take, samples: [] };
}

/**
 * Takes samples of several sides in turn, A B A B: whatever else this computer does meanwhile
 * falls on all of them alike.
 */
export async function interleave(
  sides: readonly Side[],
  { rounds, warmUps, signal }: Rounds,
): Promise<void> {
  for (let round = -warmUps; round < rounds; round++) {
    for (const { take, samples } of sides) {
      signal.throwIfAborted();
      const taken = await take();
      if (round >= 0) samples.push(...taken);
    }
  }
}
