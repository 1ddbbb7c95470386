package token

// Thumbprint names a key of any kind, so that the RFCs' examples can be tried.
var Thumbprint = thumbprint
