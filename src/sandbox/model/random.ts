/** Pseudo-random numbers, equal for equal seeds. */
export interface Random {
  /** The next number, at least 0 and less than 1. */
  next(): number;
  /** The next whole number, at least 0 and less than `bound`. */
  below(bound: number): number;
  /** True with the given probability (0 to 1). Draws a number in any case. */
  chance(probability: number): boolean;
}

/**
 * A small generator (mulberry32): good enough to vary a simulation, not for secrets.
 *
 * @param seed Any number; only its lower 32 bits count.
 */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return {
    next,
    below: (bound) => Math.floor(next() * bound),
    chance: (probability) => next() < probability,
  };
}
