/** How the event log becomes an aggregate: one patient per case, one event type per activity, typed fields. */

/** Column of the CSV → field and its type. */
export const FIELDS: Readonly<Record<string, { readonly name: string; readonly type: string }>> = {
  'Complete Timestamp': { name: 'happened_at', type: 'timestamp' },
  'org:group': { name: 'org_group', type: 'text' },
  'lifecycle:transition': { name: 'lifecycle', type: 'text' },
  Variant: { name: 'variant', type: 'text' },
  'Variant index': { name: 'variant_index', type: 'integer' },
  Age: { name: 'age', type: 'integer' },
  Diagnose: { name: 'diagnose', type: 'text' },
  CRP: { name: 'crp', type: 'numeric' },
  LacticAcid: { name: 'lactic_acid', type: 'numeric' },
  Leucocytes: { name: 'leucocytes', type: 'numeric' },
  DiagnosticArtAstrup: { name: 'diagnostic_art_astrup', type: 'boolean' },
  DiagnosticBlood: { name: 'diagnostic_blood', type: 'boolean' },
  DiagnosticECG: { name: 'diagnostic_ecg', type: 'boolean' },
  DiagnosticIC: { name: 'diagnostic_ic', type: 'boolean' },
  DiagnosticLacticAcid: { name: 'diagnostic_lactic_acid', type: 'boolean' },
  DiagnosticLiquor: { name: 'diagnostic_liquor', type: 'boolean' },
  DiagnosticOther: { name: 'diagnostic_other', type: 'boolean' },
  DiagnosticSputum: { name: 'diagnostic_sputum', type: 'boolean' },
  DiagnosticUrinaryCulture: { name: 'diagnostic_urinary_culture', type: 'boolean' },
  DiagnosticUrinarySediment: { name: 'diagnostic_urinary_sediment', type: 'boolean' },
  DiagnosticXthorax: { name: 'diagnostic_xthorax', type: 'boolean' },
  DisfuncOrg: { name: 'disfunc_org', type: 'boolean' },
  Hypotensie: { name: 'hypotensie', type: 'boolean' },
  Hypoxie: { name: 'hypoxie', type: 'boolean' },
  InfectionSuspected: { name: 'infection_suspected', type: 'boolean' },
  Infusion: { name: 'infusion', type: 'boolean' },
  Oligurie: { name: 'oligurie', type: 'boolean' },
  SIRSCritHeartRate: { name: 'sirs_crit_heart_rate', type: 'boolean' },
  SIRSCritLeucos: { name: 'sirs_crit_leucos', type: 'boolean' },
  SIRSCritTachypnea: { name: 'sirs_crit_tachypnea', type: 'boolean' },
  SIRSCritTemperature: { name: 'sirs_crit_temperature', type: 'boolean' },
  SIRSCriteria2OrMore: { name: 'sirs_criteria_2_or_more', type: 'boolean' },
};

/** What every event carries. */
const COMMON = ['happened_at', 'org_group', 'lifecycle', 'variant', 'variant_index'];
/** The source repeats age and diagnosis with a few later activities, where the registration lacked them. */
const PERSON = ['age', 'diagnose'];
const EXAMINATION = Object.values(FIELDS)
  .filter((field) => field.type === 'boolean')
  .map((field) => field.name);

/** Activity of the CSV → event type and the fields it has besides the common ones. */
export const ACTIVITIES: Readonly<
  Record<string, { readonly event: string; readonly fields: readonly string[] }>
> = {
  'ER Registration': { event: 'er_registration', fields: [...PERSON, ...EXAMINATION] },
  'ER Triage': { event: 'er_triage', fields: PERSON },
  'ER Sepsis Triage': { event: 'er_sepsis_triage', fields: PERSON },
  Leucocytes: { event: 'leucocytes', fields: ['leucocytes', ...PERSON] },
  CRP: { event: 'crp', fields: ['crp', ...PERSON] },
  LacticAcid: { event: 'lactic_acid', fields: ['lactic_acid'] },
  'IV Liquid': { event: 'iv_liquid', fields: PERSON },
  'IV Antibiotics': { event: 'iv_antibiotics', fields: [] },
  'Admission NC': { event: 'admission_nc', fields: [] },
  'Admission IC': { event: 'admission_ic', fields: [] },
  'Release A': { event: 'release_a', fields: [] },
  'Release B': { event: 'release_b', fields: [] },
  'Release C': { event: 'release_c', fields: [] },
  'Release D': { event: 'release_d', fields: [] },
  'Release E': { event: 'release_e', fields: [] },
  'Return ER': { event: 'return_er', fields: [] },
};

const fieldLines = Object.values(FIELDS).map(({ name, type }) => `  ${name} ${type}`);
const eventLines = Object.values(ACTIVITIES).map(
  ({ event, fields }) => `  EVENT ${event} (${[...COMMON, ...fields].join(', ')})`,
);

export const CREATE_PATIENT = `CREATE AGGREGATE patient (\n${[...fieldLines, ...eventLines].join(',\n')}\n)`;
