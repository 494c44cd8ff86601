import { createContext, useContext } from "react";

/** Ends the session; given by the layout to every page in it. */
export const SignOutContext = createContext<() => void>(() => undefined);

export function useSignOut(): () => void {
  return useContext(SignOutContext);
}
