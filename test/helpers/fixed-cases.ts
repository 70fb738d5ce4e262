import fc from "fast-check";

// Property tests check the same cases in every `npm test`. OPS_CASES=n checks others.
fc.configureGlobal({ seed: Number(process.env["OPS_CASES"] ?? 1) });
