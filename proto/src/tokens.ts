export * from "./redaction.js";
export * from "./token-families.js";
