import { parseSync } from "oxc-parser";

/** One import of a file, types included. */
export interface Import {
  /** What is imported, as it is written. */
  specifier: string;
  /** Line of the file, from 1 on. */
  line: number;
}

/**
 * Everything that a TypeScript file imports, re-exports or imports dynamically by a literal name.
 *
 * @throws Error when the file cannot be parsed: what cannot be read cannot be checked.
 */
export function importsOf(file: string, text: string): Import[] {
  const { module, errors } = parseSync(file, text);
  const [error] = errors;
  if (error !== undefined) throw new Error(`${file}: ${error.message}`);
  const found = [
    ...module.staticImports.map(({ moduleRequest: { value, start } }) => ({ value, start })),
    ...module.staticExports
      .flatMap(({ entries }) => entries.map(({ moduleRequest }) => moduleRequest))
      .flatMap((request) => (request === null ? [] : [request])),
    ...module.dynamicImports.flatMap(({ moduleRequest: { start, end } }) => {
      const literal = /^(["'`])([^$]*)\1$/s.exec(text.slice(start, end));
      return literal?.[2] === undefined ? [] : [{ value: literal[2], start }];
    }),
  ];
  const unique = new Map(found.map(({ value, start }) => [`${start}`, { value, start }]));
  return [...unique.values()].map(({ value, start }) => ({
    specifier: value,
    line: text.slice(0, start).split("\n").length,
  }));
}
