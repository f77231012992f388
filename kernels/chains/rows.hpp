// The rows of working memory that the bodies of the samplers name (ebmcuda/samplers/body.hpp).
#pragma once

namespace ebm {

enum Row : int { kX, kGradient, kProposal, kProposalGradient, kMomentum };

}  // namespace ebm
