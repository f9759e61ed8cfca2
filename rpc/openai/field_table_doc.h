// The field table as docs/openai.md shows it.
#ifndef FACET_RPC_OPENAI_FIELD_TABLE_DOC_H_
#define FACET_RPC_OPENAI_FIELD_TABLE_DOC_H_

#include <string>

#include "rpc/openai/field_table.h"

namespace facet {

// A table in Markdown: | field | what happens with it |.
std::string FieldTableMarkdown(Endpoint endpoint);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_FIELD_TABLE_DOC_H_
