/** A JSON object whose members have not been looked at yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** A JSON value does not have the shape that was expected. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
}

/** Whether a JSON value is an object, not an array or null. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws ShapeError when `value` is not an object. */
export function asObject(value: unknown): JsonObject {
  if (!isObject(value)) throw new ShapeError("expected an object");
  return value;
}

/** @throws ShapeError when `value` is not an array. */
export function asArray(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new ShapeError("expected an array");
  return value;
}

/** @throws ShapeError when the member is absent or not a string. */
export function stringOf(object: JsonObject, key: string): string {
  const value = object[key];
  if (typeof value !== "string") throw new ShapeError(`expected a string at ${key}`);
  return value;
}

/** @throws ShapeError when the member is absent or not a number. */
export function numberOf(object: JsonObject, key: string): number {
  const value = object[key];
  if (typeof value !== "number") throw new ShapeError(`expected a number at ${key}`);
  return value;
}

/** @throws ShapeError when the member is absent or not a boolean. */
export function booleanOf(object: JsonObject, key: string): boolean {
  const value = object[key];
  if (typeof value !== "boolean") throw new ShapeError(`expected a boolean at ${key}`);
  return value;
}
