// Which numbers of a sender have been seen already: the highest, and a bit for each of the
// SPAN numbers up to it (RFC 4303 3.4.3). What is older than that counts as seen.

/** How far behind the highest number a late one is still taken. */
export const WINDOW_SPAN = 64;
const HALF = 32;

/** Takes every number at most once. */
export class ReplayWindow {
  #highest = -1;
  // Bit i of `low` is highest - i, of `high` highest - 32 - i.
  #low = 0;
  #high = 0;

  /** True when `number` was taken, or is too old to tell. */
  has(number: number): boolean {
    const behind = this.#highest - number;
    if (behind < 0) return false;
    if (behind >= WINDOW_SPAN) return true;
    const word = behind < HALF ? this.#low : this.#high;
    return (word & (1 << (behind % HALF))) !== 0;
  }

  /** True when `number` is new; it is not, from then on. */
  take(number: number): boolean {
    if (this.has(number)) return false;
    if (number > this.#highest) {
      this.#shift(number - this.#highest);
      this.#highest = number;
    }
    const behind = this.#highest - number;
    if (behind < HALF) this.#low |= 1 << behind;
    else this.#high |= 1 << (behind - HALF);
    return true;
  }

  #shift(by: number): void {
    if (by >= WINDOW_SPAN) {
      this.#low = 0;
      this.#high = 0;
    } else if (by >= HALF) {
      this.#high = this.#low << (by - HALF);
      this.#low = 0;
    } else {
      this.#high = (this.#high << by) | (this.#low >>> (HALF - by));
      this.#low <<= by;
    }
  }
}
