export const NODE_VERSIONS: readonly string[];
export const HAS_NODE_PACKAGES: boolean;
export function nodeFolder(version: string): string;
export function findNode(version: string): string | undefined;
