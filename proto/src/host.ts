export * from "./gen/nullspace/host/v1/host_pb.js";
export * from "./gen/nullspace/host/v1/manifest_pb.js";
