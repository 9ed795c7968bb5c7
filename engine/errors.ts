/** Everything a DatabaseError may say besides its SQLSTATE and message. */
export interface ErrorDetails {
  readonly detail?: string;
  readonly hint?: string;
  /** Character position in the statement, counted from 1 as PostgreSQL does. */
  readonly position?: number;
}

/**
 * The one error class of the project. Thrown where a fault is found and turned into an ErrorResponse once, at the
 * edge. Messages never hold a payload or a token.
 */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';
  readonly sqlstate: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  readonly position: number | undefined;

  constructor(sqlstate: string, message: string, details: ErrorDetails = {}) {
    super(message);
    this.sqlstate = sqlstate;
    this.detail = details.detail;
    this.hint = details.hint;
    this.position = details.position;
  }

  /** The same error, whose detail begins by saying where in what was given the fault is. */
  located(where: string): DatabaseError {
    const { sqlstate, message, detail, hint, position } = this;
    return new DatabaseError(sqlstate, message, {
      detail: detail === undefined ? where : `${where} ${detail}`,
      ...(hint === undefined ? {} : { hint }),
      ...(position === undefined ? {} : { position }),
    });
  }
}

/** The SQLSTATEs we raise ourselves, by PostgreSQL's condition names (appendix A of its manual). */
export const SqlState = {
  featureNotSupported: '0A000',
  protocolViolation: '08P01',
  connectionFailure: '08006',
  invalidTextRepresentation: '22P02',
  invalidBinaryRepresentation: '22P03',
  invalidDatetimeFormat: '22007',
  datetimeFieldOverflow: '22008',
  numericValueOutOfRange: '22003',
  stringDataRightTruncation: '22001',
  characterNotInRepertoire: '22021',
  invalidParameterValue: '22023',
  notNullViolation: '23502',
  uniqueViolation: '23505',
  invalidTransactionState: '25000',
  activeSqlTransaction: '25001',
  noActiveSqlTransaction: '25P01',
  inFailedSqlTransaction: '25P02',
  invalidSqlStatementName: '26000',
  invalidAuthorization: '28000',
  invalidPassword: '28P01',
  invalidCatalogName: '3D000',
  invalidCursorName: '34000',
  invalidSavepoint: '3B001',
  serializationFailure: '40001',
  syntaxError: '42601',
  insufficientPrivilege: '42501',
  undefinedColumn: '42703',
  undefinedObject: '42704',
  undefinedParameter: '42P02',
  undefinedTable: '42P01',
  undefinedFunction: '42883',
  duplicateColumn: '42701',
  duplicateTable: '42P07',
  duplicateObject: '42710',
  duplicatePreparedStatement: '42P05',
  duplicateCursor: '42P03',
  datatypeMismatch: '42804',
  reservedName: '42939',
  invalidObjectDefinition: '42P17',
  configurationLimitExceeded: '53400',
  tooManyConnections: '53300',
  diskFull: '53100',
  programLimitExceeded: '54000',
  objectInUse: '55006',
  objectNotInPrerequisiteState: '55000',
  lockNotAvailable: '55P03',
  queryCanceled: '57014',
  adminShutdown: '57P01',
  cannotConnectNow: '57P03',
  ioError: '58030',
  configFileError: 'F0000',
  internalError: 'XX000',
  dataCorrupted: 'XX001',
} as const;
