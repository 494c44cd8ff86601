import type { DescMethod } from "@bufbuild/protobuf";

/** How the audit trail names a call: "nullspace.v1.MachineService/Create". */
export function rpcName({ parent, name }: DescMethod): string {
  return `${parent.typeName}/${name}`;
}
