const STORAGE_KEY = "nullspace.apiKey";

/** The key of this tab's session. It is gone when the tab is closed. */
export function readKey(): string | undefined {
  return sessionStorage.getItem(STORAGE_KEY) ?? undefined;
}

/** Signs in with a key that has been checked. */
export function storeKey(apiKey: string): void {
  sessionStorage.setItem(STORAGE_KEY, apiKey);
}

/** Signs out. */
export function forgetKey(): void {
  sessionStorage.removeItem(STORAGE_KEY);
}
