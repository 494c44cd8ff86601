import { stripVTControlCharacters, styleText } from "node:util";

/** Styles that this program uses. */
export type Style = "red" | "green" | "yellow" | "cyan" | "bold" | "dim";

/** Text in a style where `stream` is a terminal that wants colours (NO_COLOR is respected). */
export function styled(
  style: Style,
  text: string,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  return styleText(style, text, { stream, validateStream: true });
}

/** Rows under a heading, in columns that are as wide as they need to be. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => widthOf(row[column] ?? ""))),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell + " ".repeat((widths[column] ?? 0) - widthOf(cell)))
      .join("  ")
      .trimEnd();
  const top = styled("dim", line(headings));
  return [top, ...rows.map(line)].map((text) => `${text}\n`).join("");
}

/** Names and values below each other, the values aligned. */
export function fields(pairs: readonly (readonly [string, string | undefined])[]): string {
  const shown = pairs.filter((pair): pair is readonly [string, string] => Boolean(pair[1]));
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${styled("dim", name.padEnd(width))}  ${value}\n`).join("");
}

function widthOf(text: string): number {
  return Array.from(stripVTControlCharacters(text)).length;
}

/** A span of time as people read it: "12s", "3m 20s", "2h 5m", "3d 4h". */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${seconds % 60}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${minutes % 60}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}

/** A time that has been as people read it: "3m 20s ago". */
export function ago(date: Date): string {
  return `${duration(Date.now() - date.getTime())} ago`;
}

/** MiB as people read it. */
export function mebibytes(value: number): string {
  return value >= 1024 && value % 1024 === 0 ? `${value / 1024} GiB` : `${value} MiB`;
}

/** Bytes as people read them. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let left = value;
  for (; left >= 1024 && unit < units.length - 1; unit++) left /= 1024;
  return `${unit === 0 ? left : left.toFixed(1)} ${units[unit]}`;
}

/** Prints a value as one line of JSON. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/**
 * Text from a machine, as it may go to a terminal: control characters, with which
 * a file's name could play tricks, are shown escaped. Elsewhere it stays as it is.
 */
export function shown(text: string, stream: NodeJS.WriteStream = process.stdout): string {
  if (!stream.isTTY) return text;
  // oxlint-disable-next-line no-control-regex -- They are what is looked for.
  return text.replaceAll(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(2, "0");
    return `\\x${code}`;
  });
}

/** Prints text for people, as it is. */
export function print(text: string): void {
  process.stdout.write(text);
}

/** Tells people at the terminal something that scripts do not want to see. */
export function hint(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`${styled("dim", text, process.stderr)}\n`);
}
