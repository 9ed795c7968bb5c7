const UTC = /^(?:(?:Etc\/)?(?:UTC|UCT|Universal|Zulu|GMT|Greenwich)|GMT0)$/i;

/** What was found of a session's reported settings, which are another map after each change. */
const found = new WeakMap<ReadonlyMap<string, string>, boolean>();

/** Times are printed in ISO style and in UTC, as the settings that the read model reported say. */
export function printsIsoInUtc(reported: ReadonlyMap<string, string>): boolean {
  const known = found.get(reported);
  if (known !== undefined) return known;
  const isIso = reported.get('DateStyle')?.startsWith('ISO') === true;
  const does = isIso && UTC.test(reported.get('TimeZone') ?? '');
  found.set(reported, does);
  return does;
}
