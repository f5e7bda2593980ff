/** Chance that a seed decides: the same seed gives the same story. */
export interface Random {
  readonly seed: number;
  /** From 0 up to, without, 1. */
  next(): number;
  /** A whole number from 0 up to, without, `below`. */
  below(below: number): number;
  chance(probability: number): boolean;
  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T;
}

/** Makes chance of a seed (mulberry32). */
export function makeRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  const pick = <T>(list: readonly T[]): T => {
    const [item] = list.length === 1 ? list : list.slice(below(list.length));
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  };
  return {
    seed,
    next,
    below,
    chance: (probability) => next() < probability,
    pick,
  };
}
