// What commands print: JSON for programs, aligned columns for people. Standard output
// carries nothing else.

/** Writes a line to standard output. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Writes a value as one line of JSON. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value));
}

/**
 * Rows in aligned columns: numbers to the right, everything else to the left.
 *
 * @param header - the columns' titles
 */
export function columns(
  header: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const texts = rows.map((row) => row.map(String));
  const widths = header.map((title, i) =>
    Math.max(title.length, ...texts.map((row) => row[i]?.length ?? 0)),
  );
  const rightward = header.map((_, i) => rows.every((row) => typeof row[i] === 'number'));
  const line = (row: readonly string[]): string =>
    row
      .map((text, i) =>
        rightward[i] ? text.padStart(widths[i] ?? 0) : text.padEnd(widths[i] ?? 0),
      )
      .join('  ')
      .trimEnd();
  return [line(header), ...texts.map(line)].join('\n');
}

/**
 * `address:port`, the address in brackets when it has colons itself; the address
 * alone without a port.
 */
export function endpointText({ address, port }: { address: string; port: number }): string {
  const shown = address.includes(':') ? `[${address}]` : address;
  return port === 0 ? address : `${shown}:${port}`;
}

/** Seconds as `42 s`, `3 min 20 s`, `5 h 12 min` or `3 d 4 h`. */
export function durationText(seconds: number): string {
  const units: readonly (readonly [name: string, length: number])[] = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ];
  const whole = Math.floor(seconds);
  const first = units.findIndex(([, length]) => whole >= length);
  if (first === -1 || first === 3) return `${whole} s`;
  const [name, length] = units[first] as readonly [string, number];
  const [nextName, nextLength] = units[first + 1] as readonly [string, number];
  const rest = Math.floor((whole % length) / nextLength);
  return `${Math.floor(whole / length)} ${name}${rest > 0 ? ` ${rest} ${nextName}` : ''}`;
}
