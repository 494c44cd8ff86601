export * from "./gen/nullspace/v1/error_pb.js";
export * from "./gen/nullspace/v1/event_pb.js";
export * from "./gen/nullspace/v1/key_pb.js";
export * from "./gen/nullspace/v1/machine_pb.js";
export * from "./gen/nullspace/v1/preview_pb.js";
export * from "./gen/nullspace/v1/snapshot_pb.js";
export * from "./gen/nullspace/v1/transfer_pb.js";
export * from "./headers.js";
