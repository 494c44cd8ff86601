import type { IBufferCell, Terminal } from "@xterm/headless";

const FLAGS = [
  ["isBold", 1],
  ["isDim", 2],
  ["isItalic", 3],
  ["isUnderline", 4],
  ["isBlink", 5],
  ["isInverse", 7],
  ["isInvisible", 8],
  ["isStrikethrough", 9],
  ["isOverline", 53],
] as const;

const COLOURS = ["getFgColor", "getBgColor", "getFgColorMode", "getBgColorMode"] as const;

/** Kinds of colour, as xterm.js numbers them: the 16 with names, 256 by number, red-green-blue. */
const NAMED = 1 << 24;
const NUMBERED = 2 << 24;
const RGB = 3 << 24;

/** Colours and style of a character. */
type Look = Pick<IBufferCell, (typeof FLAGS)[number][0] | (typeof COLOURS)[number]>;

/** What makes the characters that follow look so, whatever those before did. */
export function sequenceOf(look: Look): string {
  const flags = FLAGS.filter(([has]) => look[has]() !== 0).map(([, code]) => code);
  const colours = [
    ...colour(30, look.getFgColorMode(), look.getFgColor()),
    ...colour(40, look.getBgColorMode(), look.getBgColor()),
  ];
  return `\x1b[${[0, ...flags, ...colours].join(";")}m`;
}

/** Whether nothing is special about it. */
export function isPlain(look: Look): boolean {
  const isColoured = look.getFgColorMode() !== 0 || look.getBgColorMode() !== 0;
  return !isColoured && FLAGS.every(([has]) => look[has]() === 0);
}

/**
 * How the next character will look. No public name leads there; the
 * serializing addon of xterm.js takes the same way.
 */
export function nextLook(terminal: Terminal): Look | undefined {
  const look = ["_core", "_inputHandler", "_curAttrData"].reduce<unknown>(
    (from, name) => (isObject(from) ? Reflect.get(from, name) : undefined),
    terminal,
  );
  return isLook(look) ? look : undefined;
}

/** @param base 30 for the foreground, 40 for the background. */
function colour(base: 30 | 40, mode: number, value: number): number[] {
  switch (mode) {
    case NAMED:
      return [value < 8 ? base + value : base + 60 + value - 8];
    case NUMBERED:
      return [base + 8, 5, value];
    case RGB:
      return [base + 8, 2, (value >> 16) & 255, (value >> 8) & 255, value & 255];
    default:
      return [];
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function isLook(value: unknown): value is Look {
  const names = [...FLAGS.map(([name]) => name), ...COLOURS];
  return isObject(value) && names.every((name) => typeof Reflect.get(value, name) === "function");
}
