/** What of package-lock.json matters here. */
export interface Lock {
  /** By path; the empty path is the package itself. */
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

/** One package of the lock file. */
export interface LockedPackage {
  readonly integrity?: string;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

/** The lock file without what is for development only. */
export function shrinkwrapOf(lock: Lock): Lock;
