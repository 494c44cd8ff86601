import { create, type DescMessage, isFieldSet, type MessageShape } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { FieldMask } from "@bufbuild/protobuf/wkt";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

/**
 * Copies the fields that a mask names; all of them when there is no mask.
 *
 * @param mask Names of top-level fields, as they stand in the .proto file.
 * @throws Fault INVALID_ARGUMENT for a name that the message does not have.
 */
export function applyFieldMask<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
  mask: FieldMask | undefined,
): MessageShape<Desc> {
  if (mask === undefined || mask.paths.length === 0) return message;
  const wanted = mask.paths.map((path) => {
    const field = schema.fields.find(({ name }) => name === path);
    if (field === undefined) throw unknownField(schema, path);
    return field;
  });
  const masked = create(schema);
  const from = reflect(schema, message);
  const to = reflect(schema, masked);
  for (const field of wanted) {
    if (isFieldSet(message, field)) to.set(field, from.get(field));
  }
  return masked;
}

function unknownField(schema: DescMessage, path: string): Fault {
  const names = schema.fields.map(({ name }) => name).join(", ");
  const shown = JSON.stringify(path.slice(0, 80));
  return new Fault(ErrorReason.INVALID_ARGUMENT, `fields names ${shown}, which there is not`, {
    remedy: `Use names of ${schema.name}'s fields: ${names}.`,
    details: { field: "fields" },
  });
}
