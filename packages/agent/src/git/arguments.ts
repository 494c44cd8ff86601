import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/**
 * A name or URL as an argument that git cannot take for an option.
 *
 * @throws Fault INVALID_ARGUMENT.
 */
export function argument(field: string, value: string): string {
  if (value !== "" && !value.startsWith("-") && !value.includes("\0")) return value;
  throw invalid(
    field,
    `${JSON.stringify(value)} is no ${field}`,
    "It is not empty and begins with no '-'.",
  );
}

/** As {@link argument}; nothing when it is empty. */
export function optional(field: string, value: string): string[] {
  return value === "" ? [] : [argument(field, value)];
}

/**
 * The URL of a repository.
 *
 * @throws Fault INVALID_ARGUMENT, above all for one that holds a password: git
 * would show it to every process and write it into the configuration.
 */
export function repositoryUrl(value: string): string {
  const url = argument("url", value);
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/@]*:[^/]*@/i.test(url)) return url;
  throw invalid(
    "url",
    "the URL holds a password",
    "Pass credentials in auth, and the URL without.",
  );
}

/** Paths, after the mark that ends options; nothing when there are none. */
export function paths(files: readonly string[]): string[] {
  return files.length === 0 ? [] : ["--", ...files];
}

/** An argument that is wrong. */
export function invalid(field: string, message: string, remedy: string): Fault {
  return new Fault(ErrorReason.INVALID_ARGUMENT, message, { remedy, details: { field } });
}
