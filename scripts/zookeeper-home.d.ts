export const ZOOKEEPER_MISSING: string;
export function findZookeeperClasspath(): string | undefined;
