export * from "./gen/nullspace/agent/v1/file_pb.js";
export * from "./gen/nullspace/agent/v1/git_pb.js";
export * from "./gen/nullspace/agent/v1/port_pb.js";
export * from "./gen/nullspace/agent/v1/process_pb.js";
export * from "./gen/nullspace/agent/v1/pty_pb.js";
export * from "./gen/nullspace/agent/v1/sshd_pb.js";
export * from "./gen/nullspace/agent/v1/system_pb.js";
export * from "./upload-blocks.js";
