import { type SignedFamilyName, TOKEN_FAMILIES } from "@nullspace/proto/tokens";

/** Every family of signed tokens, also those that were added last. */
export const SIGNED_FAMILIES: readonly SignedFamilyName[] =
  Object.keys(TOKEN_FAMILIES).filter(isSigned);

function isSigned(name: string): name is SignedFamilyName {
  return Object.entries(TOKEN_FAMILIES).some(
    ([family, { kind }]) => family === name && kind === "signed",
  );
}
