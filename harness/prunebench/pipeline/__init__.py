"""The stages, one a module, in the order in which data flow: data, pretrain, embed, project, score, select, train."""
